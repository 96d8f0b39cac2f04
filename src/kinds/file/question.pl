# Files of root's, without following a last link.
file_state($_) for given('files');
