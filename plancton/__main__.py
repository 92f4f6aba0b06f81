from plancton.cli.main import main

raise SystemExit(main())
