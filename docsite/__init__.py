"""The site of `make docs`: its hooks, its gallery, and the code on its pages."""
