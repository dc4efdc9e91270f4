//! Errors of deserialisers in a person's words. Their tests are beside them, where the program itself, which is no library, runs none.

#[allow(dead_code, reason = "the tests call them")]
#[path = "../src/words.rs"]
mod words;
