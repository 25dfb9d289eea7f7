//! The settings that a topic may have for itself; what it does not have is the broker's.

use crate::limits::MESSAGE_BYTES_MAX;

/// A setting that can be chosen for a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TopicSetting {
    /// -1: no age is too old.
    RetentionMs,
    /// Of one partition; -1: no size is too large.
    RetentionBytes,
    /// The largest record batch.
    MaxMessageBytes,
}

impl TopicSetting {
    pub const ALL: [Self; 3] = [Self::RetentionMs, Self::RetentionBytes, Self::MaxMessageBytes];

    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RetentionMs => "retention.ms",
            Self::RetentionBytes => "retention.bytes",
            Self::MaxMessageBytes => "max.message.bytes",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// The value, or in words what it must be.
    pub fn parse(self, value: &str) -> Result<i64, String> {
        let (min, max) = match self {
            Self::RetentionMs | Self::RetentionBytes => (-1, i64::MAX),
            Self::MaxMessageBytes => (0, MESSAGE_BYTES_MAX as i64),
        };
        let number = value.trim().parse::<i64>().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("Invalid value {value} for configuration {}: {min} to {max}", self.name()))
    }
}

/// A setting and what it becomes; `None`: the broker's again.
pub(crate) type SettingChange = (TopicSetting, Option<i64>);

/// Those that one topic has for itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct TopicConfigs {
    values: [Option<i64>; TopicSetting::ALL.len()],
}

impl TopicConfigs {
    pub fn get(&self, setting: TopicSetting) -> Option<i64> {
        self.values[setting as usize]
    }

    /// `None`: the broker's again.
    pub fn set(&mut self, setting: TopicSetting, value: Option<i64>) {
        self.values[setting as usize] = value;
    }

    /// The words of a line of the catalog.
    pub fn encode(&self) -> String {
        let word = |setting: TopicSetting| self.get(setting).map(|value| format!(" {}={value}", setting.name()));
        TopicSetting::ALL.into_iter().filter_map(word).collect()
    }

    pub fn decode<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut configs = Self::default();
        for word in words {
            let (name, value) = word.split_once('=')?;
            let setting = TopicSetting::of_name(name)?;
            configs.set(setting, Some(setting.parse(value).ok()?));
        }
        Some(configs)
    }
}
