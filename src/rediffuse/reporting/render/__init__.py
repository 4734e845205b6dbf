"""How it looks: tables, pictures, pages, the terminal."""
