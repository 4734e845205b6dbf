"""What has to be done, what is out of date, and the record of what was made."""
