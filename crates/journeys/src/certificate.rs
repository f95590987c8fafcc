//! What a journey may ask of the server's certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hurl_core::ast::CertificateAttributeName;
use jiff::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::value::Value;

/// One attribute of a certificate in DER; none where the certificate has no such attribute.
pub(crate) fn attribute(der: &[u8], name: CertificateAttributeName) -> Result<Option<Value>, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("no X.509 certificate: {error}"))?;
    let date =
        |seconds: i64| Timestamp::from_second(seconds).map(Value::Date).map_err(|error| error.to_string());
    Ok(Some(match name {
        CertificateAttributeName::Subject => Value::String(certificate.subject().to_string()),
        CertificateAttributeName::Issuer => Value::String(certificate.issuer().to_string()),
        CertificateAttributeName::StartDate => date(certificate.validity().not_before.timestamp())?,
        CertificateAttributeName::ExpireDate => date(certificate.validity().not_after.timestamp())?,
        CertificateAttributeName::SerialNumber => Value::String(certificate.raw_serial_as_string()),
        CertificateAttributeName::SubjectAltName => {
            let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
            let Some(names) = names else { return Ok(None) };
            Value::String(names.value.general_names.iter().map(general_name).collect::<Vec<_>>().join(", "))
        }
        CertificateAttributeName::Value => {
            let encoded = STANDARD.encode(der);
            let lines: Vec<&str> =
                encoded.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            Value::String(format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            ))
        }
    }))
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| std::net::Ipv4Addr::from(octets).to_string());
            let v6 =
                || <[u8; 16]>::try_from(*bytes).map(|octets| std::net::Ipv6Addr::from(octets).to_string());
            format!("IP Address:{}", v4.or_else(|_| v6()).unwrap_or_else(|_| "?".to_owned()))
        }
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(name) => format!("URI:{name}"),
        other => other.to_string(),
    }
}
