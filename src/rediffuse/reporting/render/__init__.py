"""How it looks: tables, pictures, pages, the terminal; and the words for numbers and names."""
