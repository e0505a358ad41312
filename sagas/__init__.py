"""Pure processes across contexts: an event in, commands out."""
