//! Which brokers there are. Groups live on all of them, so some questions go to each.

use kafka_protocol::messages::MetadataRequest;

use crate::metadata::METADATA_CAP;
use crate::{Client, KafkaError};

impl Client {
    /// The addresses of all brokers that the cluster names now.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn broker_addresses(&mut self) -> Result<Vec<String>, KafkaError> {
        let (answer, _) =
            self.call_any(METADATA_CAP, |_| MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
        Ok(answer.brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect())
    }
}
