from plancton.cli import main

raise SystemExit(main())
