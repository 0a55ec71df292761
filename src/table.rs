//! The table that owns what there is many of: everyone else holds an [`Id`].
//!
//! An id is a slot and a generation. When what it named is gone the slot is used again, but the
//! generation is not, so an old id leads nowhere. The kernel may well report an fd that was closed
//! earlier in the same batch, and whose number somebody else has by now (epoll(7), "Questions and
//! answers", Q6 and the notes on stale events): that report carries an old id.

use slab::Slab;

/// Names one entry, for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Where it is.
    pub slot: u32,
    /// Which of those that were there.
    generation: u32,
}

impl Id {
    /// As one number; [`Id::from_bits`] reads it. The upper half is never 0.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// From the number that [`Id::to_bits`] gave; `None` if the upper half is 0.
    pub fn from_bits(bits: u64) -> Option<Id> {
        let (slot, generation) = (bits as u32, (bits >> 32) as u32);
        (generation != 0).then_some(Id { slot, generation })
    }
}

/// The table.
#[derive(Debug)]
pub struct Table<T> {
    slots: Slab<Entry<T>>,
    /// The generation given out last. It is 0 only before the first.
    generation: u32,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    generation: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { slots: Slab::new(), generation: 0 }
    }
}

impl<T> Table<T> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes an entry in and names it.
    pub fn insert(&mut self, value: T) -> Id {
        // After four thousand million entries the generations begin again; an id would have to be
        // that old to be mistaken.
        self.generation = self.generation.wrapping_add(1).max(1);
        let slot = self.slots.insert(Entry { value, generation: self.generation });
        Id { slot: slot as u32, generation: self.generation }
    }

    /// The entry of this name, if it still lives.
    pub fn get(&self, id: Id) -> Option<&T> {
        let entry = self.slots.get(id.slot as usize)?;
        (entry.generation == id.generation).then_some(&entry.value)
    }

    /// The entry of this name, if it still lives.
    #[inline]
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        (entry.generation == id.generation).then_some(&mut entry.value)
    }

    /// Takes the entry of this name out, if it still lives.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        Some(self.slots.remove(id.slot as usize).value)
    }

    /// Whatever is in this slot, if something is.
    #[inline]
    pub fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize).map(|entry| &mut entry.value)
    }

    /// The name of whatever is in this slot, if something is.
    pub fn id_at(&self, slot: u32) -> Option<Id> {
        let generation = self.slots.get(slot as usize)?.generation;
        Some(Id { slot, generation })
    }

    /// Every entry, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots
            .iter()
            .map(|(slot, entry)| (Id { slot: slot as u32, generation: entry.generation }, &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_leads_nowhere_when_its_slot_is_used_again() {
        let mut table = Table::default();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second");
        assert_eq!(second.slot, first.slot);
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&"second"));
        assert_eq!(table.id_at(second.slot), Some(second));
    }

    #[test]
    fn a_name_survives_as_a_number() {
        let mut table = Table::default();
        let id = table.insert(());
        assert_eq!(Id::from_bits(id.to_bits()), Some(id));
        assert_eq!(Id::from_bits(7), None);
    }
}
