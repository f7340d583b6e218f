//! Assets by their position in a view, and by name.

use serde::{Deserialize, Serialize};

use crate::names::AssetName;
use crate::snapshot::{AccountView, Consumer, Stream};

/// An asset by its position in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AssetIx {
    /// A stream.
    Stream(u32),
    /// A consumer, after its stream.
    Consumer(u32, u32),
}

impl AssetIx {
    /// The position of the stream.
    pub fn stream(self) -> u32 {
        match self {
            Self::Stream(stream) | Self::Consumer(stream, _) => stream,
        }
    }

    /// The consumer, if it is one of this stream's.
    pub fn consumer_of(self, stream: &Stream) -> Option<&Consumer> {
        match self {
            Self::Stream(_) => None,
            Self::Consumer(_, nth) => stream.consumers.get(nth as usize),
        }
    }
}

/// The position of an asset in a view; `None` when the view does not show it.
pub fn asset_index(view: &AccountView, asset: &AssetName) -> Option<AssetIx> {
    let at = view
        .streams
        .binary_search_by(|stream| stream.name.cmp(&asset.stream))
        .ok()?;
    let number = u32::try_from(at).ok()?;
    let Some(name) = &asset.consumer else {
        return Some(AssetIx::Stream(number));
    };
    let nth = view
        .streams
        .get(at)?
        .consumers
        .iter()
        .position(|consumer| consumer.name == *name)?;
    Some(AssetIx::Consumer(number, u32::try_from(nth).ok()?))
}

/// The name of an asset of a view.
pub fn asset_name(view: &AccountView, asset: AssetIx) -> Option<AssetName> {
    let stream = view.streams.get(asset.stream() as usize)?;
    match asset {
        AssetIx::Stream(_) => Some(AssetName::stream(stream.name.clone())),
        AssetIx::Consumer(_, nth) => {
            let consumer = stream.consumers.get(nth as usize)?;
            Some(AssetName::consumer(stream.name.clone(), consumer.name.clone()))
        }
    }
}
