"""D2L chapter 5: the scenarios of its exercises, a subject a package."""
