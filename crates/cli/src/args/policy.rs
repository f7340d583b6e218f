//! Which policy decides, and how to reach Kubernetes.

use std::path::PathBuf;

/// Which policy decides: from files, from Kubernetes, or none, which means the defaults for everything in the account.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Policy")]
pub struct PolicyArgs {
    /// Objects as YAML or JSON: a file, a folder, or - for standard input; may be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Leave out files and folders of -f whose path, or the end of it, is like this: * is anything; may be repeated.
    #[arg(long, value_name = "GLOB", requires = "files")]
    pub exclude: Vec<String>,
    /// A policy in Kubernetes, as NAME or NAMESPACE/NAME. Its own Secrets are read to connect, unless flags, the
    /// environment or --context say how.
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// How to reach Kubernetes, as kubectl is told.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// Namespace; that of the kubeconfig's context, if it is not given.
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Kubeconfig file; KUBECONFIG and ~/.kube/config otherwise.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub kube_context: Option<String>,
}
