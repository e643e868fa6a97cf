//! The Kafka clusters of an environment.

use std::path::Path;

use flowline_model::{KafkaCluster, KafkaLogSettings, KafkaSasl, KafkaTls, SaslMechanism, Secret};

use super::absolute;
use super::environment::Resolver;
use crate::diagnostic::Code;
use crate::files::{KafkaFile, KafkaLogFile, SaslFile, SaslWord, TlsFile};
use crate::sources::Problem;
use crate::value::{BrokersText, Items, Variable, has_variable};

impl Resolver<'_> {
    /// The cluster that the log is kept in; none when something of it is wrong or not to be known.
    pub(super) fn kafka_log(&mut self, dir: &Path, file: &KafkaLogFile) -> Option<KafkaLogSettings> {
        let key = "log/kafka";
        let cluster = self.cluster(dir, key, &file.brokers, file.tls.as_ref(), file.sasl.as_ref());
        let topic_prefix = self.read(&format!("{key}/topic_prefix"), Some(&file.topic_prefix));
        Some(KafkaLogSettings {
            cluster: cluster?,
            topic_prefix: topic_prefix?,
            replication: file.replication,
        })
    }

    /// The cluster that sources read from.
    pub(super) fn kafka(&mut self, dir: &Path, file: &KafkaFile) -> Option<KafkaCluster> {
        self.cluster(dir, "kafka", &file.brokers, file.tls.as_ref(), file.sasl.as_ref())
    }

    fn cluster(
        &mut self,
        dir: &Path,
        key: &str,
        brokers: &Items<Variable<BrokersText>>,
        tls: Option<&TlsFile>,
        sasl: Option<&SaslFile>,
    ) -> Option<KafkaCluster> {
        let mut addresses = Vec::new();
        for (index, broker) in &brokers.0 {
            addresses.extend(self.read(&format!("{key}/brokers/{index}"), Some(broker)).unwrap_or_default());
        }
        if brokers.0.is_empty() {
            let problem = Problem::error(Code::MissingKey, "`brokers` names no broker");
            self.problem(&format!("{key}/brokers"), problem.hint("name at least one: `[\"host:9092\"]`"));
        }
        let ca_file = tls.and_then(|tls| self.read(&format!("{key}/tls/ca_file"), tls.ca_file.as_ref()));
        let tls = tls.map(|_| KafkaTls { ca_file: ca_file.map(|path| absolute(dir, &path)) });
        let login = match sasl {
            Some(sasl) => Some(self.sasl(key, sasl, tls.is_some())?),
            None => None,
        };
        (!addresses.is_empty()).then_some(KafkaCluster { brokers: addresses, tls, sasl: login })
    }

    fn sasl(&mut self, key: &str, file: &SaslFile, encrypted: bool) -> Option<KafkaSasl> {
        let mechanism = match file.mechanism {
            SaslWord::Plain => SaslMechanism::Plain,
            SaslWord::ScramSha256 => SaslMechanism::ScramSha256,
            SaslWord::ScramSha512 => SaslMechanism::ScramSha512,
        };
        if mechanism == SaslMechanism::Plain && !encrypted {
            let problem = Problem::warning(
                Code::Conflict,
                "`plain` sends the password as it is, and nothing encrypts it",
            );
            self.problem(
                &format!("{key}/sasl/mechanism"),
                problem.hint("add `tls: {}`, or use `scram-sha-512`"),
            );
        }
        if !has_variable(&file.password.text) {
            let problem = Problem::error(Code::InvalidValue, "the password stands in the file");
            let hint = "take it from an environment variable: `password: \"${KAFKA_PASSWORD}\"`";
            self.problem(&format!("{key}/sasl/password"), problem.hint(hint));
            return None;
        }
        let user = self.read(&format!("{key}/sasl/user"), Some(&file.user))?;
        let password = self.read(&format!("{key}/sasl/password"), Some(&file.password))?;
        Some(KafkaSasl { mechanism, user, password: Secret::new(password) })
    }
}
