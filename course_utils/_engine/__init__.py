"""The cellar: folders, files, downloads and progress bars. No lesson imports it."""
