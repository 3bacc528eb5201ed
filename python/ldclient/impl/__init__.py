"""How the public modules do it; nothing here is for direct use."""
