"""Files: what `spanledger export` writes and `spanledger import` reads."""
