"""Sessions: conversations turn by turn, and the users who had them."""
