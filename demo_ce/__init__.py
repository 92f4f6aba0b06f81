"""A small Computing Element that submits job agents as AliEn and JAliEn do."""
