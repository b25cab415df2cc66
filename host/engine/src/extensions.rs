//! A bag of values, one per type: how kernel and providers hand each other what belongs to one call.

use std::any::Any;

/// Values by their type. Empty it holds no memory.
#[derive(Default)]
pub struct Extensions(Vec<Box<dyn Any + Send>>);

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extensions")
            .field("values", &self.0.len())
            .finish_non_exhaustive()
    }
}

impl Extensions {
    /// Puts a value in, in place of another of its type.
    pub fn put<T: Any + Send>(&mut self, value: T) {
        match self.get_mut::<T>() {
            Some(old) => *old = value,
            None => self.0.push(Box::new(value)),
        }
    }

    /// The value of a type.
    pub fn get_mut<T: Any + Send>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|value| value.downcast_mut())
    }

    /// Changes the value of a type, which is put in if there is none.
    pub fn change<T: Any + Send + Default>(&mut self, change: impl FnOnce(&mut T)) {
        match self.get_mut::<T>() {
            Some(value) => change(value),
            None => {
                let mut value = T::default();
                change(&mut value);
                self.put(value);
            }
        }
    }

    /// Takes the value of a type out.
    pub fn take<T: Any + Send>(&mut self) -> Option<T> {
        let at = self.0.iter().position(|value| value.is::<T>())?;
        self.0.swap_remove(at).downcast().ok().map(|value| *value)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_per_type_and_it_can_be_taken_once() {
        let mut bag = Extensions::default();
        bag.put(1_u8);
        bag.put("text");
        bag.put(2_u8);
        if let Some(number) = bag.get_mut::<u8>() {
            *number += 1;
        }
        bag.change(|number: &mut u16| *number += 4);
        bag.change(|number: &mut u16| *number += 1);
        assert_eq!(bag.take::<u16>(), Some(5));
        assert_eq!((bag.take::<u8>(), bag.take::<u8>()), (Some(3), None));
        assert_eq!(bag.take::<&str>(), Some("text"));
        assert!(bag.is_empty());
    }
}
