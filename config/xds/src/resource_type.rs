//! The types of resources that the protocol carries.

use std::ops::{Index, IndexMut};

use weft_proto::type_url;

/// A type of xDS resource. The order of the variants is the order in which updates of several
/// types are sent: what is referred to goes before what refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// SRDS.
    ScopedRoute,
    /// VHDS.
    VirtualHost,
    /// SDS.
    Secret,
    /// ECDS.
    ExtensionConfig,
    /// RTDS.
    Runtime,
}

impl ResourceType {
    /// Every type, in the order of sending.
    pub const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Endpoint,
        Self::Listener,
        Self::Route,
        Self::ScopedRoute,
        Self::VirtualHost,
        Self::Secret,
        Self::ExtensionConfig,
        Self::Runtime,
    ];

    /// Its name on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => type_url::CLUSTER,
            Self::Endpoint => type_url::CLUSTER_LOAD_ASSIGNMENT,
            Self::Listener => type_url::LISTENER,
            Self::Route => type_url::ROUTE_CONFIGURATION,
            Self::ScopedRoute => type_url::SCOPED_ROUTE_CONFIGURATION,
            Self::VirtualHost => type_url::VIRTUAL_HOST,
            Self::Secret => type_url::SECRET,
            Self::ExtensionConfig => type_url::EXTENSION_CONFIG,
            Self::Runtime => type_url::RUNTIME,
        }
    }

    /// The type of that name on the wire; `None` for every other, those of xDS v2 included.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.type_url() == url)
    }

    /// The abbreviation people use: `CDS`, `EDS`, …
    pub fn abbreviation(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
            Self::ScopedRoute => "SRDS",
            Self::VirtualHost => "VHDS",
            Self::Secret => "SDS",
            Self::ExtensionConfig => "ECDS",
            Self::Runtime => "RTDS",
        }
    }

    /// Whether a client means everything when it names nothing, and whether a state-of-the-world
    /// response of this type carries everything, so that absence deletes.
    pub fn is_root(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

/// One `T` for each [`ResourceType`].
#[derive(Clone, Debug, Default)]
pub struct PerType<T>([T; ResourceType::ALL.len()]);

impl<T> PerType<T> {
    /// Makes each from its type.
    pub fn from_fn(make: impl FnMut(ResourceType) -> T) -> Self {
        Self(ResourceType::ALL.map(make))
    }

    /// Each with its type, in the order of sending.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceType, &T)> {
        ResourceType::ALL.into_iter().zip(&self.0)
    }

    /// Each with its type, in the order of sending.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ResourceType, &mut T)> {
        ResourceType::ALL.into_iter().zip(&mut self.0)
    }
}

impl<T> Index<ResourceType> for PerType<T> {
    type Output = T;

    fn index(&self, of: ResourceType) -> &T {
        &self.0[of as usize]
    }
}

impl<T> IndexMut<ResourceType> for PerType<T> {
    fn index_mut(&mut self, of: ResourceType) -> &mut T {
        &mut self.0[of as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_url_and_indexes_its_own_slot() {
        let slots = PerType::from_fn(|each| each);
        for each in ResourceType::ALL {
            assert_eq!(ResourceType::from_type_url(each.type_url()), Some(each));
            assert_eq!(slots[each], each);
        }
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/envoy.api.v2.Cluster"), None);
    }
}
