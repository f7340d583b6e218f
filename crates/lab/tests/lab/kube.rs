//! Guards the promises of `kube`: a real API with real authorisation that survives a restart of its server.

use leeward_lab::kube::Kube;
use tempfile::TempDir;

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.lab.leeward.dev}
spec:
  group: lab.leeward.dev
  scope: Namespaced
  names: {kind: Boat, plural: boats, singular: boat}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {masts: {type: integer}}
            x-kubernetes-validations:
            - {rule: 'self.masts > 0', message: a boat without a mast is a raft}
";

fn boat(masts: u32) -> String {
    format!(
        "apiVersion: lab.leeward.dev/v1\nkind: Boat\nmetadata: {{name: boat, namespace: harbour}}\nspec: {{masts: {masts}}}\n"
    )
}

#[tokio::test]
async fn the_api_refuses_what_rbac_and_validation_refuse_and_keeps_its_objects_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut kube = Kube::start(folder.path()).await.unwrap();
    println!("apiserver ready after {:?}", kube.ready_after());
    kube.create_namespace("harbour").await.unwrap();
    kube.create_namespace("harbour").await.unwrap();

    let token = kube.service_account_token("harbour", "visitor").await.unwrap();
    let visitor = kube.kubeconfig_for_token("visitor", &token).unwrap();
    let list_pods = ["get", "pods", "--namespace", "harbour"];
    let refusal = kube
        .kubectl_as(&visitor, &list_pods)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("Forbidden") && refusal.contains("harbour:visitor"),
        "{refusal}"
    );
    let role = [
        "create",
        "role",
        "reader",
        "--verb=list",
        "--resource=pods",
        "--namespace",
        "harbour",
    ];
    kube.kubectl(&role).await.unwrap();
    let binding = [
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--serviceaccount=harbour:visitor",
        "-n",
        "harbour",
    ];
    kube.kubectl(&binding).await.unwrap();
    // The authoriser learns of the binding through its own watch.
    while let Err(error) = kube.kubectl_as(&visitor, &list_pods).await {
        assert!(error.to_string().contains("Forbidden"), "{error}");
    }

    kube.apply_crds(CRD).await.unwrap();
    let refusal = format!("{:#}", kube.apply(&boat(0)).await.unwrap_err());
    assert!(refusal.contains("a boat without a mast is a raft"), "{refusal}");
    kube.apply(&boat(3)).await.unwrap();

    let url = kube.url().to_owned();
    kube.stop_apiserver().await.unwrap();
    assert!(kube.kubectl(&["get", "namespaces"]).await.is_err());
    assert!(kube.pause_apiserver().is_err());
    kube.start_apiserver().await.unwrap();
    assert_eq!(kube.url(), url);
    println!("apiserver ready again after {:?}", kube.ready_after());
    let masts = [
        "get",
        "boat",
        "boat",
        "--namespace",
        "harbour",
        "--output=jsonpath={.spec.masts}",
    ];
    assert_eq!(kube.kubectl(&masts).await.unwrap(), "3");
    assert_eq!(
        kube.kubectl_as(&visitor, &list_pods).await.unwrap(),
        "",
        "tokens stay good over a restart"
    );
}
