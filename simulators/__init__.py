"""Local stand-ins for outside services that speak their real wire protocol."""
