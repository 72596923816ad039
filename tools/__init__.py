"""The hands: one folder a verb (generate, screen, recognise, relax, evaluate), independent of each other."""
