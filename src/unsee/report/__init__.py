"""Reports: templates and plots that turn run folders into pages. They read what was saved and ask no model anything."""
