"""Windows and stops: when the node may be used."""
