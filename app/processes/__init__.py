"""Child processes: started on a leash, watched, and never left behind."""
