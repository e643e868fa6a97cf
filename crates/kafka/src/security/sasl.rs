//! The login over a connection that is open already.

use bytes::Bytes;
use flowline_base::RunId;
use flowline_model::{KafkaSasl, SaslMechanism};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use super::scram::{Hash, Scram};
use crate::KafkaError;
use crate::connection::Connection;

/// Logs in.
///
/// # Errors
/// [`KafkaError::Login`] when the broker says no.
pub(crate) async fn login(connection: &mut Connection, settings: &KafkaSasl) -> Result<(), KafkaError> {
    let mechanism = settings.mechanism.as_str();
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = connection.call(&request).await?;
    if answer.error_code != 0 {
        let known: Vec<&str> = answer.mechanisms.iter().map(|known| known.as_str()).collect();
        let reason = format!("it does not know {mechanism}, but {}", known.join(", "));
        return Err(KafkaError::Login { broker: connection.broker().to_owned(), reason });
    }
    let password = settings.password.expose();
    match settings.mechanism {
        SaslMechanism::Plain => {
            let message = format!("\0{}\0{password}", settings.user);
            authenticate(connection, message.into_bytes()).await.map(|_| ())
        }
        SaslMechanism::ScramSha256 => scram(connection, Hash::Sha256, &settings.user, password).await,
        SaslMechanism::ScramSha512 => scram(connection, Hash::Sha512, &settings.user, password).await,
    }
}

async fn scram(
    connection: &mut Connection,
    hash: Hash,
    user: &str,
    password: &str,
) -> Result<(), KafkaError> {
    let refused = |broker: &str| {
        let broker = broker.to_owned();
        move |reason: String| KafkaError::Login { broker, reason }
    };
    let scram = Scram { hash, user, password, nonce: format!("{}{}", RunId::generate(), RunId::generate()) };
    let challenge = authenticate(connection, scram.first().into_bytes()).await?;
    let challenge = String::from_utf8_lossy(&challenge);
    let proof = scram.prove(&challenge).map_err(refused(connection.broker()))?;
    let last = authenticate(connection, proof.message.clone().into_bytes()).await?;
    proof.verify(&String::from_utf8_lossy(&last)).map_err(refused(connection.broker()))
}

async fn authenticate(connection: &mut Connection, message: Vec<u8>) -> Result<Bytes, KafkaError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
    let answer = connection.call(&request).await?;
    if answer.error_code == 0 {
        return Ok(answer.auth_bytes);
    }
    let reason = answer.error_message.map_or_else(|| "no reason given".to_owned(), |text| text.to_string());
    Err(KafkaError::Login { broker: connection.broker().to_owned(), reason })
}
