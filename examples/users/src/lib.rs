//! Users with a unique index and a secondary index, kept by the call that changes a user.
//!
//! Promises that no two users of a directory have one e-mail address, and that both indexes always agree
//! with the users: one call writes all three, and nothing if it fails. No transaction is repeated: two
//! clients that want one address at the same time cost two calls.
//! The directory is the tag: all its keys live on one shard. Several directories, such as one for
//! each customer of a service, spread over all shards.
//! Leaves out addresses that are unique over all directories: that is an index with a tag of its
//! own, and a call `--across`.

use aspen_guest::keys::{Key, KeyError};
use aspen_guest::store;
use serde::{Deserialize, Serialize};

aspen_guest::function!({ world: "users", path: "wit" });

const FIELD_BYTES_MAX: usize = 200;
/// Users in one answer.
const FOUND_MAX: usize = 100;

/// The value of `{DIRECTORY} "user" ID`.
#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    email: String,
    city: String,
}

/// The keys of one directory.
struct Directory(Key);

struct Users;

impl Guest for Users {
    fn add(directory: String, user: User) -> Result<u64, String> {
        let directory = Directory::new(&directory)?;
        let last = directory.last_id();
        let id = store::get_u64(&last).unwrap_or(0) + 1;
        store::put_u64(&last, id);
        directory.insert(id, &record(user)?)?;
        Ok(id)
    }

    fn update(directory: String, id: u64, user: User) -> Result<(), String> {
        let directory = Directory::new(&directory)?;
        if !directory.remove(id) {
            return Err(format!("no user {id}"));
        }
        // If the new address is taken, the removal is undone with the call.
        directory.insert(id, &record(user)?)
    }

    fn remove(directory: String, id: u64) -> Result<bool, String> {
        Ok(Directory::new(&directory)?.remove(id))
    }

    fn get(directory: String, id: u64) -> Result<Option<User>, String> {
        Ok(Directory::new(&directory)?.get(id).map(user))
    }

    fn by_email(directory: String, email: String) -> Result<Option<Found>, String> {
        let directory = Directory::new(&directory)?;
        let email = check_field("e-mail", email)?.to_ascii_lowercase();
        let id = store::get_u64(directory.email(&email));
        id.map(|id| directory.found(id)).transpose()
    }

    fn in_city(directory: String, city: String, after: u64) -> Result<Vec<Found>, String> {
        let directory = Directory::new(&directory)?;
        let city = directory.city(&check_field("city", city)?);
        let Some(first) = after.checked_add(1) else { return Ok(vec![]) };
        let start = city.clone().part(first);
        let items = store::range(start, Some(&city.bounds_below().1)).take(FOUND_MAX);
        let ids = items.map(|item| city.parts_below(&item.key)?.only::<u64>());
        ids.map(|id| directory.found(id.map_err(text_of)?)).collect()
    }
}

aspen_guest::export!(Users);

impl Directory {
    fn new(name: &str) -> Result<Self, String> {
        if name.len() > FIELD_BYTES_MAX {
            return Err(format!("a directory's name has at most {FIELD_BYTES_MAX} bytes"));
        }
        Key::try_tagged(name).map(Self).map_err(text_of)
    }

    fn last_id(&self) -> Key {
        self.0.clone().part("last-id")
    }

    fn user(&self, id: u64) -> Key {
        self.0.clone().part("user").part(id)
    }

    /// The unique index: its value is the id.
    fn email(&self, email: &str) -> Key {
        self.0.clone().part("email").part(email)
    }

    /// The secondary index: below it stand the ids, with empty values.
    fn city(&self, city: &str) -> Key {
        self.0.clone().part("city").part(city)
    }

    fn get(&self, id: u64) -> Option<Record> {
        store::get_as(self.user(id))
    }

    /// Returns a user that an index names.
    fn found(&self, id: u64) -> Result<Found, String> {
        let record =
            self.get(id).ok_or_else(|| format!("an index names user {id}, who is gone"))?;
        Ok(Found { id, user: user(record) })
    }

    fn insert(&self, id: u64, record: &Record) -> Result<(), String> {
        let email = self.email(&record.email);
        if let Some(other) = store::get_u64(&email) {
            return Err(format!("{} belongs to user {other}", record.email));
        }
        store::put_as(self.user(id), record);
        store::put_u64(email, id);
        store::put(self.city(&record.city).part(id), "");
        Ok(())
    }

    fn remove(&self, id: u64) -> bool {
        let Some(record) = self.get(id) else { return false };
        store::delete(self.user(id));
        store::delete(self.email(&record.email));
        store::delete(self.city(&record.city).part(id));
        true
    }
}

fn text_of(error: KeyError) -> String {
    error.to_string()
}

fn check_field(name: &str, text: String) -> Result<String, String> {
    let is_good = (1..=FIELD_BYTES_MAX).contains(&text.len());
    if is_good { Ok(text) } else { Err(format!("{name} has 1 to {FIELD_BYTES_MAX} bytes")) }
}

/// Addresses that differ in capitals are one address. Letters beyond ASCII are left as they are:
/// Unicode's tables would double the component.
fn record(User { name, email, city }: User) -> Result<Record, String> {
    let email = check_field("e-mail", email)?.to_ascii_lowercase();
    if !email.contains('@') {
        return Err(format!("{email} is no e-mail address"));
    }
    Ok(Record { name: check_field("name", name)?, email, city: check_field("city", city)? })
}

fn user(Record { name, email, city }: Record) -> User {
    User { name, email, city }
}

#[cfg(test)]
mod tests {
    use aspen_guest::testing::{Harness, faults};

    use super::*;

    fn user_of(name: &str, email: &str, city: &str) -> User {
        User { name: name.into(), email: email.into(), city: city.into() }
    }

    fn add(shard: &mut Harness, email: &str, city: &str) -> Result<u64, String> {
        shard.call(|| Users::add("d".into(), user_of("name", email, city)))
    }

    fn update(shard: &mut Harness, id: u64, email: &str, city: &str) -> Result<(), String> {
        shard.call(|| Users::update("d".into(), id, user_of("name", email, city)))
    }

    fn id_of(shard: &mut Harness, email: &str) -> Option<u64> {
        let found = shard.call(|| Users::by_email("d".into(), email.into())).unwrap();
        found.map(|found| found.id)
    }

    fn in_city(shard: &mut Harness, city: &str, after: u64) -> Vec<u64> {
        let found = shard.call(|| Users::in_city("d".into(), city.into(), after)).unwrap();
        found.into_iter().map(|found| found.id).collect()
    }

    #[test]
    fn users_are_found_by_id_address_and_city() {
        let mut shard = Harness::new();
        assert_eq!(add(&mut shard, "Ada@x.org", "London"), Ok(1));
        assert_eq!(add(&mut shard, "ben@x.org", "London"), Ok(2));
        assert_eq!(add(&mut shard, "cleo@x.org", "Rome"), Ok(3));
        assert_eq!(id_of(&mut shard, "aDa@x.org"), Some(1));
        assert_eq!(in_city(&mut shard, "London", 0), [1, 2]);
        assert_eq!(in_city(&mut shard, "London", 1), [2]);
        assert_eq!(in_city(&mut shard, "London", u64::MAX), [0; 0]);
        let ada = shard.call(|| Users::get("d".into(), 1)).unwrap().unwrap();
        assert_eq!((&*ada.email, &*ada.city), ("ada@x.org", "London"));
    }

    #[test]
    fn address_belongs_to_one_user() {
        let mut shard = Harness::new();
        add(&mut shard, "ada@x.org", "London").unwrap();
        add(&mut shard, "ben@x.org", "Rome").unwrap();
        let before = shard.scan("");
        let taken = Err("ada@x.org belongs to user 1".to_string());
        assert_eq!(add(&mut shard, "ADA@x.org", "Rome").map(drop), taken);
        assert_eq!(update(&mut shard, 2, "ada@x.org", "Rome"), taken);
        assert_eq!(shard.scan(""), before);
    }

    #[test]
    fn indexes_follow_a_change() {
        let mut shard = Harness::new();
        add(&mut shard, "ada@x.org", "London").unwrap();
        update(&mut shard, 1, "ada@x.org", "Rome").unwrap();
        assert_eq!(in_city(&mut shard, "London", 0), [0; 0]);
        assert_eq!(in_city(&mut shard, "Rome", 0), [1]);
        update(&mut shard, 1, "ada@y.org", "Rome").unwrap();
        assert_eq!(id_of(&mut shard, "ada@x.org"), None);
        assert_eq!(add(&mut shard, "ada@x.org", "Rome"), Ok(2));
        assert_eq!(shard.call(|| Users::remove("d".into(), 1)), Ok(true));
        assert_eq!(shard.call(|| Users::remove("d".into(), 1)), Ok(false));
        assert_eq!(update(&mut shard, 1, "a@b", "c"), Err("no user 1".into()));
        assert_eq!(shard.scan("").len(), 4, "the last id, a user and his two index keys");
    }

    #[test]
    fn bad_input_is_refused() {
        let mut shard = Harness::new();
        add(&mut shard, "", "Rome").unwrap_err();
        add(&mut shard, "no address", "Rome").unwrap_err();
        add(&mut shard, "ada@x.org", &"x".repeat(201)).unwrap_err();
        shard.call(|| Users::add("}".into(), user_of("n", "a@b", "c"))).unwrap_err();
        assert_eq!(shard.revision(), 0);
    }

    /// Every user has his two index keys, and there are no others.
    fn indexes_agree() {
        let directory = Directory::new("d").unwrap();
        let mut expected = 0;
        let users = directory.0.clone().part("user");
        for item in store::below(&users) {
            let id: u64 = users.parts_below(&item.key).unwrap().only().unwrap();
            let record = directory.get(id).unwrap();
            assert_eq!(store::get_u64(directory.email(&record.email)), Some(id));
            assert!(store::exists(directory.city(&record.city).part(id)));
            expected += 1;
        }
        for index in ["email", "city"] {
            let index = directory.0.clone().part(index);
            assert_eq!(store::below(&index).count(), expected);
        }
    }

    #[test]
    fn indexes_agree_with_users_under_faults() {
        faults::check(0..200, |sim| {
            sim.invariant(indexes_agree);
            for _ in 0..3 {
                sim.client(|client| async move {
                    for _ in 0..6 {
                        let email = ["a@x", "b@x", "c@x"][client.pick(3) as usize];
                        let city = ["Rome", "Oslo"][client.pick(2) as usize];
                        let (what, id) = (client.pick(4), 1 + client.pick(4));
                        let call = move || match what {
                            0 => Users::remove("d".into(), id).map(drop),
                            1 => Users::update("d".into(), id, user_of("n", email, city)),
                            _ => Users::add("d".into(), user_of("n", email, city)).map(drop),
                        };
                        let _ = client.call(call).await;
                    }
                });
            }
            sim.run();
        });
    }
}
