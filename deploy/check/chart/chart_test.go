package chart_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chart = "../../helm/pipesteward"

// least are values without which the chart refuses to be installed.
const least = `
secrets: {existingSecret: secrets}
rules: {existingConfigMap: rules}
settings: {insecure-admin-without-auth: true}
`

// most are values that turn everything on.
const most = `
image: {digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123"}
imagePullSecrets: [{name: registry}]
store: {kind: redis}
replicas: 3
secrets: {existingSecret: secrets, keys: [gitlab-token, webhook-token, admin-oidc-client-secret]}
rules: {files: {rules.yaml: "version: 1\nrules: []\n"}}
settings: {gitlab-url: https://gitlab.example.com, dry-run: true, admin-auth: oidc, admin-operator-groups: [platform/ops, platform/sre]}
service: {annotations: {a: b}}
ingress: {enabled: true, className: nginx, annotations: {a: b}, host: pipesteward.example.com, tlsSecret: tls}
networkPolicy:
  webhooksFrom: [{namespaceSelector: {matchLabels: {a: b}}}]
  adminFrom: [{namespaceSelector: {matchLabels: {a: c}}}]
  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]
serviceMonitor: {enabled: true, labels: {a: b}, endpoint: {scheme: https}}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {a: b}
nodeSelector: {a: b}
tolerations: [{key: a, operator: Exists}]
affinity: {podAntiAffinity: {}}
priorityClassName: high
extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318"}]
extraVolumes: [{name: web-config, configMap: {name: web-config}}]
extraVolumeMounts: [{name: web-config, mountPath: /etc/pipesteward/web-config}]
`

// fromGit are values by which the rules are those of a Git repository.
const fromGit = `
secrets: {existingSecret: secrets}
rules:
  git: {repository: "https://gitlab.example.com/platform/pipesteward-rules.git", existingSecret: rules-token}
settings: {insecure-admin-without-auth: true}
`

// TestInstalledAsReadmeSays: the values and the rules of README.md's example are what is installed.
func TestInstalledAsReadmeSays(t *testing.T) {
	text := read(t, chart+"/README.md")
	_, below, _ := strings.Cut(text, "```yaml\n")
	example, _, _ := strings.Cut(below, "```")
	all := parsed(t, strings.ReplaceAll("\n"+example, "\n   ", "\n"))
	flag := regexp.MustCompile(`--set-file '([^']+)'`).FindStringSubmatch(text)
	if flag == nil {
		t.Fatal("no --set-file")
	}
	rules := read(t, "../../../rules.example.yaml")
	if err := strvals.ParseIntoFile(flag[1], all, func([]rune) (any, error) { return rules, nil }); err != nil {
		t.Fatal(err)
	}
	values, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	made := rendered(t, string(values))
	if data := get[corev1.ConfigMap](t, made, "ConfigMap/release-pipesteward-rules").Data; len(data) != 1 || data["rules.yaml"] != rules {
		t.Errorf("the rules are not those of the file: %q", slices.Collect(maps.Keys(data)))
	}
	if d := get[appsv1.Deployment](t, made, "Deployment/release-pipesteward"); *d.Spec.Replicas != 2 || environment(d)["PIPESTEWARD_ADMIN_OPERATOR_GROUPS"] != "platform/ops" {
		t.Errorf("not what the values say: %+v", d.Spec)
	}
	if made["Ingress/release-pipesteward"] == nil {
		t.Error("no Ingress")
	}
}

// render renders the templates of the chart as `helm template` does, by the name of their
// file.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	version, err := common.ParseKubeVersion("v1.30.0")
	if err != nil {
		t.Fatal(err)
	}
	capabilities.KubeVersion = *version
	all, err := util.ToRenderValues(c, parsed(t, values), common.ReleaseOptions{Name: "release", Namespace: "space", Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

func parsed(t *testing.T, values string) (all map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(values), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// objects are what the chart makes, by kind and name.
type objects map[string][]byte

// rendered renders the chart; every object that Kubernetes knows by itself must decode.
func rendered(t *testing.T, values string) objects {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for text := range strings.SplitSeq(yamlOf(files), "\n---\n") {
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if head.Kind == "" {
			continue
		}
		known := map[string]any{
			"Deployment": &appsv1.Deployment{}, "Service": &corev1.Service{}, "ServiceAccount": &corev1.ServiceAccount{}, "ConfigMap": &corev1.ConfigMap{},
			"PersistentVolumeClaim": &corev1.PersistentVolumeClaim{}, "Ingress": &networkingv1.Ingress{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
			"PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "ServiceMonitor": &map[string]any{},
		}[head.Kind]
		if known == nil {
			t.Fatalf("a %s, which this test does not know", head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(text), known); err != nil {
			t.Errorf("%s %s: %v\n%s", head.Kind, head.Metadata.Name, err, text)
		}
		all[head.Kind+"/"+head.Metadata.Name] = []byte(text)
	}
	return all
}

// yamlOf gives the YAML documents of all files.
func yamlOf(files map[string]string) string {
	var documents []string
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			documents = append(documents, text)
		}
	}
	return strings.Join(documents, "\n---\n")
}

// get decodes an object.
func get[T any](t *testing.T, all objects, name string) (object T) {
	t.Helper()
	if all[name] == nil {
		t.Fatalf("no %s, but %q", name, slices.Sorted(maps.Keys(all)))
	}
	if err := yaml.UnmarshalStrict(all[name], &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestLint(t *testing.T) {
	for name, values := range map[string]string{"least": least, "most": most, "from Git": fromGit} {
		if result := lint.RunAll(chart, parsed(t, values), "space"); result.HighestSeverity >= support.WarningSev {
			t.Errorf("%s: %v", name, result.Messages)
		}
	}
}

// TestOneReplica: the file of the store is on a volume that one pod at a time has.
func TestOneReplica(t *testing.T) {
	all := rendered(t, least)
	want := []string{
		"Deployment/release-pipesteward", "NetworkPolicy/release-pipesteward", "PersistentVolumeClaim/release-pipesteward-state", "Service/release-pipesteward",
		"Service/release-pipesteward-admin", "ServiceAccount/release-pipesteward",
	}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	d := get[appsv1.Deployment](t, all, "Deployment/release-pipesteward")
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, strategy %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	if env := environment(d); env["PIPESTEWARD_STORE"] != "bolt:/var/lib/pipesteward/pipesteward.db" || env["PIPESTEWARD_GITLAB_TOKEN_FILE"] != "/run/secrets/pipesteward/gitlab-token" {
		t.Errorf("%v", env)
	}
	claim := get[corev1.PersistentVolumeClaim](t, all, "PersistentVolumeClaim/release-pipesteward-state")
	if !slices.Equal(claim.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}) || claim.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Errorf("%+v", claim)
	}
	policy := get[networkingv1.NetworkPolicy](t, all, "NetworkPolicy/release-pipesteward")
	if len(policy.Spec.Ingress) != 1 || policy.Spec.Ingress[0].Ports[0].Port.StrVal != "webhooks" {
		t.Errorf("more than the webhooks can be reached: %+v", policy.Spec)
	}
}

// TestReplicas: with Redis, one replica after the other is replaced, and its URL is a file.
func TestReplicas(t *testing.T) {
	all := rendered(t, most)
	d := get[appsv1.Deployment](t, all, "Deployment/release-pipesteward")
	rolling := d.Spec.Strategy.RollingUpdate
	if *d.Spec.Replicas != 3 || rolling == nil || rolling.MaxUnavailable.IntValue() != 0 {
		t.Errorf("%d replicas, strategy %+v", *d.Spec.Replicas, d.Spec.Strategy)
	}
	env := environment(d)
	for name, want := range map[string]string{
		"PIPESTEWARD_STORE": "", "PIPESTEWARD_STORE_FILE": "/run/secrets/pipesteward/store", "PIPESTEWARD_DRY_RUN": "true", "PIPESTEWARD_ADMIN_OPERATOR_GROUPS": "platform/ops,platform/sre",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if all["PersistentVolumeClaim/release-pipesteward-state"] != nil {
		t.Error("a volume, which Redis needs none of")
	}
	if rules := get[corev1.ConfigMap](t, all, "ConfigMap/release-pipesteward-rules"); rules.Data["rules.yaml"] != "version: 1\nrules: []\n" {
		t.Errorf("%q", rules.Data)
	}
	budget := get[policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget/release-pipesteward")
	if budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%+v", budget.Spec)
	}
	for _, path := range get[networkingv1.Ingress](t, all, "Ingress/release-pipesteward").Spec.Rules[0].HTTP.Paths {
		if path.Backend.Service.Name != "release-pipesteward" || path.Backend.Service.Port.Name != "webhooks" {
			t.Errorf("the Ingress leads to %+v", path)
		}
	}
	monitor := get[map[string]any](t, all, "ServiceMonitor/release-pipesteward")
	admin := get[corev1.Service](t, all, "Service/release-pipesteward-admin")
	for label, value := range monitor["spec"].(map[string]any)["selector"].(map[string]any)["matchLabels"].(map[string]any) {
		if admin.Labels[label] != value {
			t.Errorf("the ServiceMonitor selects %s=%v, which the service of the admin address has not: %v", label, value, admin.Labels)
		}
	}
}

// TestPodIsRestricted: the pod meets Kubernetes's Pod Security Standard "restricted", has no
// token and a read-only file system, and has more than 10 s to end.
func TestPodIsRestricted(t *testing.T) {
	for name, values := range map[string]string{"least": least, "most": most, "from Git": fromGit} {
		pod := get[appsv1.Deployment](t, rendered(t, values), "Deployment/release-pipesteward").Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			if *c.SecurityContext.AllowPrivilegeEscalation || !*c.SecurityContext.ReadOnlyRootFilesystem || !slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: %s has %+v", name, c.Name, c.SecurityContext)
			}
		}
		c := pod.Containers[0]
		switch {
		case !*pod.SecurityContext.RunAsNonRoot, *pod.SecurityContext.RunAsUser != 65532, pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
			t.Errorf("%s: %+v", name, pod.SecurityContext)
		case *pod.AutomountServiceAccountToken:
			t.Errorf("%s: the pod has a token", name)
		case *pod.TerminationGracePeriodSeconds <= 10+c.Lifecycle.PreStop.Sleep.Seconds:
			t.Errorf("%s: %d s to end", name, *pod.TerminationGracePeriodSeconds)
		case c.LivenessProbe.HTTPGet.Path != "/healthz", c.ReadinessProbe.HTTPGet.Path != "/readyz":
			t.Errorf("%s: probes %+v %+v", name, c.LivenessProbe, c.ReadinessProbe)
		}
	}
}

// TestRefused: values that can't work are refused, with what to change.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ values, says string }{
		"no values":                         {"", "secrets.existingSecret is empty: create a Secret"},
		"two processes and a file":          {least + "replicas: 2", "set replicas to 1, or store.kind to redis"},
		"Redis's URL for a file":            {strings.Replace(least, "existingSecret: secrets", "existingSecret: secrets, keys: [store]", 1), "set store.kind to redis, or remove the key"},
		"no rules":                          {strings.Replace(least, "existingConfigMap: rules", "files: {}", 1), "there are no rules"},
		"rules twice":                       {strings.Replace(least, "existingConfigMap: rules", "existingConfigMap: rules, files: {a.yaml: b}", 1), "rules.files and rules.existingConfigMap are set: choose one"},
		"rules of Git and others":           {strings.Replace(fromGit, "rules:\n", "rules:\n  existingConfigMap: rules\n", 1), "rules.existingConfigMap and rules.git.repository are set: choose one"},
		"a password that all can read":      {strings.Replace(fromGit, "https://", "https://rules:secret@", 1), "rules/git/repository"},
		"an admin address open to everyone": {strings.Replace(least, "insecure-admin-without-auth", "dry-run", 1), "nothing says who may use the admin address"},
		"an Ingress without a name":         {least + "ingress: {enabled: true}", "ingress.host is empty"},
		"a setting as a variable":           {least + "extraEnv: [{name: PIPESTEWARD_DRY_RUN, value: \"true\"}]", "extraEnv has PIPESTEWARD_DRY_RUN: set it in settings"},
		"an unknown value":                  {least + "replica: 2", "replica"},
		"an unknown setting":                {strings.Replace(least, "insecure-admin-without-auth", "gitlab-uri", 1), "gitlab-uri"},
		"a setting that the chart sets":     {strings.Replace(least, "insecure-admin-without-auth: true", "listen: x", 1), "listen"},
		"an unknown store":                  {least + "store: {kind: sqlite}", "bolt"},
		"a number as text":                  {least + `replicas: "1"`, "replicas"},
	} {
		if _, err := render(t, c.values); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// TestSettings: the schema has all flags of serve but those that the chart sets by itself.
func TestSettings(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "./cmd/pipesteward", "serve", "--help")
	cmd.Dir = "../../.."
	help, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, flag := range regexp.MustCompile(`(?m)^ +--([a-z-]+)`).FindAllSubmatch(help, -1) {
		want[string(flag[1])] = true
	}
	delete(want, "help")
	var schema struct {
		Properties struct {
			Settings struct{ Properties map[string]any }
			Secrets  struct {
				Properties struct {
					Keys struct{ Items struct{ Enum []string } }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	got := slices.Concat(slices.Collect(maps.Keys(schema.Properties.Settings.Properties)), schema.Properties.Secrets.Properties.Keys.Items.Enum, []string{"rules", "listen", "admin-listen"})
	slices.Sort(got)
	if all := slices.Sorted(maps.Keys(want)); !slices.Equal(got, all) {
		t.Errorf("values.schema.json has %q, and serve %q", got, all)
	}
	secrets := regexp.MustCompile(`PIPESTEWARD_([A-Z_]+)_FILE\b`).FindAllSubmatch(help, -1)
	for _, match := range secrets {
		if name := strings.ToLower(strings.ReplaceAll(string(match[1]), "_", "-")); !slices.Contains(schema.Properties.Secrets.Properties.Keys.Items.Enum, name) {
			t.Errorf("secrets.keys can't have %s", name)
		}
	}
}

// TestReadme: the table of the chart's README.md has each value, and no other.
func TestReadme(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, chart+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	var walk func(string, map[string]any)
	walk = func(prefix string, values map[string]any) {
		for name, value := range values {
			if below, is := value.(map[string]any); is && len(below) > 0 && name != "resources" {
				walk(prefix+name+".", below)
				continue
			}
			want = append(want, prefix+name)
		}
	}
	walk("", values)
	quoted := regexp.MustCompile("`([^`]+)`")
	_, table, _ := strings.Cut(read(t, chart+"/README.md"), "| --- | --- | --- |\n")
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			got = append(got, match[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("README.md has %q\nvalues.yaml has %q", got, want)
	}
}

// environment gives the variables of the container.
func environment(d appsv1.Deployment) map[string]string {
	variables := map[string]string{}
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		variables[v.Name] = v.Value
	}
	return variables
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
