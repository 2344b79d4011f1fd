"""What is read of devices and cores while others measure on them."""
