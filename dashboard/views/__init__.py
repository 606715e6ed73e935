"""Views of the dashboard, one module for each page or act."""
