//! Arguments to server to exit code; nothing else.

fn main() {}
