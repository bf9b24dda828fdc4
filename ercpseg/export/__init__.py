"""What leaves the program: predictions as folders of PNG and tables."""
