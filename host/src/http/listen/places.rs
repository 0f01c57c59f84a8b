//! How many connections there may be, and which one makes way for another.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacesMax {
    /// In all.
    pub(super) all: usize,
    /// Of one address.
    pub(super) per_address: usize,
}

/// The places of connections.
pub(super) struct Places {
    max: PlacesMax,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Holder>,
    by_address: HashMap<IpAddr, usize>,
}

/// Who has a place.
struct Holder {
    /// Whom the connection is counted for. None for a proxy, which many share.
    address: Option<IpAddr>,
    activity: Activity,
    shall_leave: Arc<Notify>,
}

impl Places {
    pub(super) fn new(max: PlacesMax) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// Takes a place for a connection of this address, or of a proxy. When all are taken, the
    /// connection that has been without a request for longest makes way: of the same address, when
    /// it is that which has too many. None when none can.
    pub(super) fn take(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        activity: Activity,
    ) -> Option<Place> {
        let address = address.map(network);
        let mut taken = self.lock();
        let of_address =
            |taken: &Taken| address.and_then(|address| taken.by_address.get(&address)).copied();
        if of_address(&taken).unwrap_or(0) >= self.max.per_address {
            taken.clear_one(|holder| holder.address == address)?;
        }
        if taken.by_number.len() >= self.max.all {
            taken.clear_one(|_| true)?;
        }
        let number = taken.next;
        taken.next += 1;
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        let shall_leave = Arc::new(Notify::new());
        let holder = Holder { address, activity, shall_leave: Arc::clone(&shall_leave) };
        taken.by_number.insert(number, holder);
        Some(Place { of: Arc::clone(self), number, shall_leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes its place from the connection among these that has been free for longest.
    fn clear_one(&mut self, among: impl Fn(&Holder) -> bool) -> Option<()> {
        let free = self.by_number.iter().filter(|(_, holder)| among(holder)).filter_map(
            |(number, holder)| holder.activity.free_since().map(|since| (since, *number)),
        );
        let (_, number) = free.min()?;
        let holder = self.give_back(number)?;
        holder.shall_leave.notify_one();
        Some(())
    }

    fn give_back(&mut self, number: u64) -> Option<Holder> {
        let holder = self.by_number.remove(&number)?;
        if let Some(address) = holder.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(holder)
    }
}

/// The place of one connection, until this is dropped.
pub(super) struct Place {
    of: Arc<Places>,
    number: u64,
    shall_leave: Arc<Notify>,
}

impl Place {
    /// Done when the connection makes way for another.
    pub(super) async fn lost(&self) {
        self.shall_leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.lock().give_back(self.number);
    }
}

/// Whom an address is counted for: one customer has a whole network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: usize, per_address: usize) -> Arc<Places> {
        Places::new(PlacesMax { all, per_address })
    }

    fn take(places: &Arc<Places>, address: &str, activity: &Activity) -> Option<Place> {
        places.take(Some(address.parse().unwrap()), activity.clone())
    }

    async fn is_lost(place: &Place) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, place.lost()).await.is_ok()
    }

    #[tokio::test]
    async fn the_one_that_is_idle_for_longest_makes_way() {
        let places = places(2, 2);
        let (busy, idle) = (Activity::new(), Activity::new());
        let _answering = busy.begins();
        let first = take(&places, "1.1.1.1", &busy).unwrap();
        let second = take(&places, "2.2.2.2", &idle).unwrap();
        let third = take(&places, "3.3.3.3", &Activity::new()).unwrap();
        assert!(!is_lost(&first).await && is_lost(&second).await && !is_lost(&third).await);
    }

    #[tokio::test]
    async fn nobody_makes_way_who_is_answered() {
        let places = places(1, 1);
        let busy = Activity::new();
        let _answering = busy.begins();
        let first = take(&places, "1.1.1.1", &busy).unwrap();
        assert!(take(&places, "2.2.2.2", &Activity::new()).is_none());
        drop(first);
        assert!(take(&places, "2.2.2.2", &Activity::new()).is_some());
    }

    #[tokio::test]
    async fn an_address_takes_no_places_from_others() {
        let places = places(10, 2);
        let other = take(&places, "9.9.9.9", &Activity::new()).unwrap();
        let mut own: Vec<_> =
            (0..5).map(|_| take(&places, "1.1.1.1", &Activity::new()).unwrap()).collect();
        assert!(!is_lost(&other).await);
        let last = own.split_off(3);
        for (place, should_be_lost) in
            own.iter().map(|own| (own, true)).chain(last.iter().map(|last| (last, false)))
        {
            assert_eq!(is_lost(place).await, should_be_lost);
        }
        drop((own, last));
        assert_eq!(places.lock().by_address.len(), 1, "what is given back is forgotten");
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_address_and_a_proxy_is_none() {
        let places = places(10, 1);
        let first = take(&places, "2001:db8::1", &Activity::new()).unwrap();
        let _second = take(&places, "2001:db8::2", &Activity::new()).unwrap();
        assert!(is_lost(&first).await);
        let proxied: Vec<_> = (0..3).map(|_| places.take(None, Activity::new()).unwrap()).collect();
        for place in &proxied {
            assert!(!is_lost(place).await);
        }
    }
}
