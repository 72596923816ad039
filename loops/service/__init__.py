"""`lodestone serve`: any number of campaigns on one machine, kept going without anybody looking."""
