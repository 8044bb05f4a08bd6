"""Evidence files to pages, figures and tables; never a live system."""
