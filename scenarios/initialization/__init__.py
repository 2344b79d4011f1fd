"""D2L 5.2.2: initialisers."""
