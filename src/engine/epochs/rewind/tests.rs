//! What a rewind does to a binding.
