"""The components that an executor serves: imported, registered, remembered, found by name."""
