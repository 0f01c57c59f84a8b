//! Answers in pages: how the next one is found, and what was read so far.
//!
//! It sends nothing: `lib.rs` does, and saves the progress between two pages.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::input::{Counted, Cursor, Next, Paginate};
use crate::link;
use crate::plan::{Plan, set_query};
use crate::redirect::{RedirectError, follow};

/// What was read so far, and what comes next. It is saved between two pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What comes next.
    pub step: Step,
    /// All items so far.
    pub items: Vec<Value>,
    /// The bytes of all pages so far.
    pub bytes: u64,
    /// How many pages were read.
    pub pages: u32,
}

/// How a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// As the input says.
    AsAsked,
    /// At this address.
    At(String),
    /// With this value of the parameter.
    With(String),
}

/// A page is not as the caller says.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It has no list of items.
    #[error("page {page} has no list at `{pointer}`; `paginate.items` says where it is")]
    NoItems {
        /// Which page, from 1.
        page: u32,
        /// Where its items should be.
        pointer: String,
    },
    /// What should lead on is neither text nor a number.
    #[error("page {page} has at `{pointer}` what leads to no next page: {found}")]
    Strange {
        /// Which page, from 1.
        page: u32,
        /// Where it should be.
        pointer: String,
        /// What is there.
        found: Value,
    },
    /// The next page is the same.
    #[error("page {0} names itself as its next")]
    Again(u32),
    /// The next page is nowhere.
    #[error("page {page} has a next, but {error}")]
    Nowhere {
        /// Which page, from 1.
        page: u32,
        /// What is wrong with its address.
        error: RedirectError,
    },
}

/// A page, as far as it is looked at.
#[derive(Debug)]
pub struct Page<'a> {
    /// Where it came from.
    pub url: &'a Url,
    /// Its headers.
    pub headers: &'a [(String, String)],
    /// Its body.
    pub body: Value,
    /// The size of its body.
    pub bytes: u64,
}

impl Paginate {
    /// What is known before the first page.
    pub fn begin(&self) -> Progress {
        let step = match &self.next {
            Next::Page(counted) => Step::With(counted.first.unwrap_or(1).to_string()),
            Next::Offset(counted) => Step::With(counted.first.unwrap_or(0).to_string()),
            Next::Link | Next::Pointer(_) | Next::Cursor(_) => Step::AsAsked,
        };
        Progress { step, items: Vec::new(), bytes: 0, pages: 0 }
    }

    /// The request for the next page. `first` is the request of the input.
    ///
    /// # Errors
    ///
    /// A [`RedirectError`] when the page before named an address that must not be called.
    pub fn plan(&self, first: &Plan, step: &Step) -> Result<Plan, RedirectError> {
        match (step, &self.next) {
            (Step::At(address), _) => follow(first, address),
            (
                Step::With(value),
                Next::Cursor(Cursor { parameter, .. })
                | Next::Page(Counted { parameter, .. })
                | Next::Offset(Counted { parameter, .. }),
            ) => {
                let mut plan = first.clone();
                set_query(&mut plan.url, parameter, value);
                Ok(plan)
            }
            (Step::AsAsked, _) | (Step::With(_), Next::Link | Next::Pointer(_)) => {
                Ok(first.clone())
            }
        }
    }

    /// Takes the items of a page, and says whether another one follows.
    ///
    /// # Errors
    ///
    /// A [`PageError`] when the page is not as the caller says.
    pub fn take(&self, progress: &mut Progress, mut page: Page<'_>) -> Result<bool, PageError> {
        let number = progress.pages + 1;
        let next = self.next_value(number, &page)?;
        let items = match page.body.pointer_mut(&self.items).map(Value::take) {
            Some(Value::Array(items)) => items,
            Some(Value::Null) => Vec::new(),
            _ => return Err(PageError::NoItems { page: number, pointer: self.items.clone() }),
        };
        let is_empty = items.is_empty();
        progress.items.extend(items);
        progress.bytes += page.bytes;
        progress.pages = number;
        let step = match (&self.next, next) {
            (Next::Link | Next::Pointer(_), Some(address)) => {
                let resolved = page.url.join(&address).map_err(|reason| PageError::Nowhere {
                    page: number,
                    error: RedirectError::Location { location: address, reason },
                })?;
                Step::At(resolved.into())
            }
            (Next::Cursor(_), Some(cursor)) => Step::With(cursor),
            (Next::Page(counted), _) if !is_empty => {
                Step::With((counted.first.unwrap_or(1) + u64::from(number)).to_string())
            }
            (Next::Offset(counted), _) if !is_empty => {
                Step::With((counted.first.unwrap_or(0) + progress.items.len() as u64).to_string())
            }
            _ => return Ok(false),
        };
        if step == progress.step || matches!(&step, Step::At(next) if next == page.url.as_str()) {
            return Err(PageError::Again(number));
        }
        progress.step = step;
        Ok(true)
    }

    /// What leads to the next page, as the page writes it.
    fn next_value(&self, number: u32, page: &Page<'_>) -> Result<Option<String>, PageError> {
        let pointer = match &self.next {
            Next::Link => return Ok(link::next(page.headers)),
            Next::Page(_) | Next::Offset(_) => return Ok(None),
            Next::Pointer(pointer) | Next::Cursor(Cursor { pointer, .. }) => pointer,
        };
        match page.body.pointer(pointer) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(value)) => Ok(Some(value.to_string())),
            Some(found @ (Value::Bool(true) | Value::Array(_) | Value::Object(_))) => {
                let (pointer, found) = (pointer.clone(), found.clone());
                Err(PageError::Strange { page: number, pointer, found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    const URL: &str = "https://example.com/items?size=2";

    fn first() -> Plan {
        let auth = json!({ "api_key": { "name": "key", "value": "k", "in": "query" } });
        let input = json!({ "url": URL, "auth": auth });
        let input = serde_json::from_value(input).unwrap();
        Plan::new(&input, "", Path::new("/"), &|name| Ok(name.to_owned())).unwrap()
    }

    fn paginate(value: Value) -> Paginate {
        serde_json::from_value(value).unwrap()
    }

    fn take(paginate: &Paginate, progress: &mut Progress, body: Value) -> Result<bool, PageError> {
        let url = Url::parse(URL).unwrap();
        paginate.take(progress, Page { url: &url, headers: &[], body, bytes: 10 })
    }

    /// Takes one page, and says where the next is.
    fn next(paginate: &Paginate, body: Value) -> Option<String> {
        let mut progress = paginate.begin();
        let more = take(paginate, &mut progress, body).unwrap();
        more.then(|| paginate.plan(&first(), &progress.step).unwrap().address())
    }

    #[test]
    fn an_address_in_the_body_leads_on_until_there_is_none() {
        let paginate = paginate(json!({ "next": { "pointer": "/links/next" }, "items": "/data" }));
        let page = json!({ "data": [1], "links": { "next": "/items?page=2&key=old" } });
        let expected = "https://example.com/items?page=2&key=k";
        assert_eq!(next(&paginate, page).as_deref(), Some(expected));
        for end in [json!(null), json!(""), json!(false)] {
            assert_eq!(next(&paginate, json!({ "data": [1], "links": { "next": end } })), None);
        }
        assert_eq!(next(&paginate, json!({ "data": null })), None);
    }

    #[test]
    fn a_key_is_not_sent_to_another_origin() {
        let paginate = paginate(json!({ "next": { "pointer": "/next" }, "items": "/data" }));
        let page = json!({ "data": [], "next": "https://other.example/items" });
        assert_eq!(next(&paginate, page).as_deref(), Some("https://other.example/items"));
    }

    #[test]
    fn a_cursor_is_sent_back() {
        let cursor = json!({ "pointer": "/next", "parameter": "after" });
        let paginate = paginate(json!({ "next": { "cursor": cursor }, "items": "/data" }));
        let expected = "https://example.com/items?size=2&after=a%2Fb&key=k";
        let page = json!({ "data": [1], "next": "a/b" });
        assert_eq!(next(&paginate, page).as_deref(), Some(expected));
        let page = json!({ "data": [1], "next": 7 });
        assert!(next(&paginate, page).unwrap().contains("after=7"));
    }

    #[test]
    fn numbers_go_on_until_a_page_is_empty() {
        let pages = paginate(json!({ "next": { "page": { "parameter": "p" } } }));
        let offsets = paginate(json!({ "next": { "offset": { "parameter": "o", "first": 10 } } }));
        assert_eq!(pages.begin().step, Step::With("1".to_owned()));
        assert!(next(&pages, json!([1, 2])).unwrap().contains("p=2"));
        assert!(next(&offsets, json!([1, 2])).unwrap().contains("o=12"));
        assert_eq!((next(&pages, json!([])), next(&offsets, json!([]))), (None, None));
    }

    #[test]
    fn items_are_joined_in_their_order() {
        let paginate = paginate(json!({ "next": { "page": { "parameter": "p" } } }));
        let mut progress = paginate.begin();
        assert!(take(&paginate, &mut progress, json!([1, 2])).unwrap());
        assert!(take(&paginate, &mut progress, json!([3])).unwrap());
        assert!(!take(&paginate, &mut progress, json!([])).unwrap());
        assert_eq!(json!(progress.items), json!([1, 2, 3]));
        assert_eq!((progress.pages, progress.bytes), (3, 30));
    }

    #[test]
    fn a_page_that_is_not_as_the_caller_says_is_told() {
        let paginate = paginate(json!({ "next": { "pointer": "/next" }, "items": "/data" }));
        let told = |body: Value| {
            let mut progress = paginate.begin();
            take(&paginate, &mut progress, body).unwrap_err().to_string()
        };
        assert!(told(json!({ "items": [] })).contains("page 1 has no list at `/data`"));
        assert!(told(json!({ "data": [], "next": {} })).contains("leads to no next page: {}"));
        assert!(told(json!({ "data": [], "next": URL })).contains("names itself"));
        assert!(told(json!({ "data": [], "next": "http://[" })).contains("not an address"));
    }
}
