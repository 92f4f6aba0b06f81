"""ClassAds: attributes and expressions, parsed and evaluated by HTCondor's own library."""
