//! The adapter against real servers: what it says is what is, and what it does is what was asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in test functions only; their helpers fail tests the same way"
)]

#[path = "contract/accounts.rs"]
mod accounts;
#[path = "contract/act.rs"]
mod act;
#[path = "contract/all_use.rs"]
mod all_use;
#[path = "contract/busy.rs"]
mod busy;
#[path = "contract/cancel.rs"]
mod cancel;
#[path = "contract/connect.rs"]
mod connect;
#[path = "contract/needs.rs"]
mod needs;
#[path = "contract/odd.rs"]
mod odd;
#[path = "contract/other_library.rs"]
mod other_library;
#[path = "contract/path.rs"]
mod path;
#[path = "contract/sample.rs"]
mod sample;
#[path = "contract/spoofed.rs"]
mod spoofed;
#[path = "contract/support.rs"]
mod support;
#[path = "contract/transfer.rs"]
mod transfer;
#[path = "contract/view.rs"]
mod view;
