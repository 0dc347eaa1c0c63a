"""The study beside the library: stages, parameters, tables, figures, report. The library never imports it."""
