//! A proxy that takes TLS only.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use safelight_testkit::bed::{Bed, Release};

#[test]
fn a_release_is_tried_at_a_proxy_that_takes_tls_only() {
    let mut bed = Bed::cold();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["shop.localhost", "test.shop.localhost"].map(str::to_owned);
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    bed.write("ca.pem", &issuer.pem());
    bed.write("site.pem", &certificate.pem());
    bed.write("site.key", &key.serialize_pem());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(bed.project().join("site.key"), private).unwrap();
    bed.configure("url = \"http://", "url = \"https://");
    let tls = "[env.production.tls]\ncertificates = [{ certificate = \"site.pem\", key = \"site.key\" }]\n";
    bed.configure("required = [\"APP_REQUIRED\"]", &format!("required = [\"APP_REQUIRED\"]\n{tls}"));

    let address = bed.addr().to_string();
    let with_roots = |args: &[&str]| {
        let mut command = bed.command(args);
        command.env("SSL_CERT_FILE", bed.project().join("ca.pem"));
        safelight_testkit::command::Said::from(command.output().unwrap())
    };
    let started = with_roots(&["host", "start", "--listen-tls", &address]);
    started.ended(0).says(&["(TLS)"]);
    for version in ["v1", "v2"] {
        bed.prepare(&Release::new(version, 1));
        with_roots(&["deploy"]).ended(0).says(&["1 journeys passed on test.shop.localhost"]);
    }
    with_roots(&["verify"]).ended(0);
    // Names that a certificate does not have: the error says what a test host needs there.
    bed.configure("test-host = \"test.shop.localhost\"", "test-host = \"next.shop.localhost\"");
    bed.prepare(&Release::new("v3", 1));
    let said = safelight_testkit::command::Said::from(
        bed.command(&["deploy"]).env("SSL_CERT_FILE", bed.project().join("ca.pem")).output().unwrap(),
    );
    assert!(said.code == Some(3) || said.code == Some(1), "{said:?}");
    assert!(said.err.contains("next.shop.localhost"), "{}", said.err);
}
