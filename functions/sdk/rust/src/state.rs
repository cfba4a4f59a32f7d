//! What a function keeps from one event to the next.

use std::sync::Mutex;

/// A place for a value that lives as long as the instance.
///
/// ```
/// use edgeless_function::State;
///
/// static COUNT: State<u64> = State::new();
///
/// COUNT.set(41); // in handle_init
/// let now = COUNT.with(|count| {
///     *count += 1;
///     *count
/// });
/// assert_eq!(now, 42);
/// ```
pub struct State<T>(Mutex<Option<T>>);

impl<T> State<T> {
    /// An empty place.
    pub const fn new() -> Self {
        State(Mutex::new(None))
    }

    /// Puts `value` there, in place of what was.
    #[track_caller]
    pub fn set(&self, value: T) {
        *self.place() = Some(value);
    }

    /// Runs `use_it` on the value. Panics if there is none, or within another `with` on it.
    #[track_caller]
    pub fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        match self.place().as_mut() {
            Some(value) => use_it(value),
            None => panic!("State::with before State::set"),
        }
    }

    #[track_caller]
    fn place(&self) -> std::sync::MutexGuard<'_, Option<T>> {
        match self.0.try_lock() {
            Ok(place) => place,
            Err(_) => panic!("State::with within State::with"),
        }
    }
}

impl<T> Default for State<T> {
    fn default() -> Self {
        State::new()
    }
}
