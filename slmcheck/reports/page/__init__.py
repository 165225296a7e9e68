"""The parts of the HTML page: elements, colours, style, script and sections."""
