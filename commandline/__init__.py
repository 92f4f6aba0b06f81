"""What the programs' command lines share: parsers, versions, completion and manual pages."""
