"""`spanledger delete`, `spanledger retention`: upkeep in the terminal."""
