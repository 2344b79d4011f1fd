"""What every part uses: errors, text, signals, where the packages are."""
