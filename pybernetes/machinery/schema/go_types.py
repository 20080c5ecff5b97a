"""What the published definitions do not say about the API's types and what decides how an object is written back.

Go leaves out an empty value if its field says `omitempty`; but a pointer to an empty value is written, and so is an empty
struct that is no pointer. The tables below name the exceptions to the rules of thumb that hold for most fields:

- an optional list, map or text is left out when it is empty, unless the text is a pointer (`storageClassName: ""`);
- an optional number or boolean is a pointer, where 0 and "unset" differ (`replicas: 0`), unless it is in ZERO_IS_UNSET;
- a struct is a pointer, left out when unset, unless it is in PRESENT, which is always written (`resources: {}`).

Source: API conventions, "Optional vs. Required", and what a server of the release answers.
"""

from __future__ import annotations

from typing import Final


def _pairs(text: str) -> frozenset[tuple[str, str]]:
    """`Type.field` words; the type's name without group and version, as no two types of one name differ here."""
    return frozenset((word.split(".")[0], word.split(".")[1]) for word in text.split())


# Optional structs that are always written. ObjectMeta always is, and need not be named; neither are required structs.
PRESENT: Final = _pairs("""
    MutatingAdmissionPolicy.spec MutatingAdmissionPolicyBinding.spec ValidatingAdmissionPolicy.spec
    ValidatingAdmissionPolicy.status CustomResourceDefinition.status APIService.spec APIService.status DaemonSet.spec
    DaemonSet.status DaemonSetSpec.updateStrategy Deployment.spec Deployment.status DeploymentSpec.strategy ReplicaSet.spec
    ReplicaSet.status ReplicaSetSpec.template StatefulSet.spec StatefulSet.status StatefulSetSpec.updateStrategy
    SelfSubjectReview.status SelfSubjectReviewStatus.userInfo TokenRequest.spec TokenRequest.status TokenReview.status
    TokenReviewStatus.user LocalSubjectAccessReview.status SelfSubjectAccessReview.status SelfSubjectRulesReview.status
    SubjectAccessReview.status HorizontalPodAutoscaler.status Scale.spec Scale.status CronJob.status Job.spec Job.status
    JobTemplateSpec.spec CertificateSigningRequest.status Lease.spec Container.resources EphemeralContainer.resources
    ContainerStatus.state ContainerStatus.lastState Event.source LimitRange.spec Namespace.spec Namespace.status Node.spec
    Node.status NodeStatus.daemonEndpoints NodeStatus.nodeInfo NodeDaemonEndpoints.kubeletEndpoint PersistentVolume.spec
    PersistentVolume.status PersistentVolumeClaim.spec PersistentVolumeClaim.status PersistentVolumeClaimSpec.resources
    Pod.spec Pod.status PodTemplate.template PodTemplateSpec.spec ReplicationController.spec ReplicationController.status
    ResourceQuota.spec ResourceQuota.status Service.spec Service.status ServiceStatus.loadBalancer Endpoint.conditions
    Event.deprecatedSource Event.regarding FlowSchema.spec FlowSchema.status PriorityLevelConfiguration.spec
    PriorityLevelConfiguration.status LimitedPriorityLevelConfiguration.limitResponse Ingress.spec Ingress.status
    IngressClass.spec IngressServiceBackend.port IngressStatus.loadBalancer NetworkPolicy.spec NetworkPolicySpec.podSelector
    ServiceCIDR.spec ServiceCIDR.status PodDisruptionBudget.spec PodDisruptionBudget.status AllocationResult.devices
    ResourceClaim.status ResourceClaimSpec.devices VolumeAttachment.status
""")

# Required structs that are pointers: absent means absent.
REQUIRED_POINTERS: Final = _pairs("""
    DaemonSetSpec.selector DeploymentSpec.selector ReplicaSetSpec.selector StatefulSetSpec.selector IPAddressSpec.parentRef
""")

# Texts of which the empty one is a value.
TEXT_POINTERS: Final = _pairs("""
    AzureDiskVolumeSource.cachingMode AzureDiskVolumeSource.fsType AzureDiskVolumeSource.kind
    AzureFilePersistentVolumeSource.secretNamespace AppArmorProfile.localhostProfile CSIVolumeSource.fsType
    ClusterTrustBundleProjection.name ClusterTrustBundleProjection.signerName Container.restartPolicy
    EphemeralContainer.restartPolicy EndpointAddress.nodeName EndpointPort.appProtocol EndpointPort.name
    EndpointPort.protocol Endpoint.hostname Endpoint.nodeName Endpoint.zone GRPCAction.service HostPathVolumeSource.type
    ISCSIPersistentVolumeSource.initiatorName ISCSIVolumeSource.initiatorName Lifecycle.stopSignal
    LoadBalancerIngress.ipMode LocalVolumeSource.fsType PersistentVolumeClaimSpec.storageClassName
    PersistentVolumeClaimSpec.volumeMode PersistentVolumeClaimSpec.volumeAttributesClassName
    PersistentVolumeClaimStatus.currentVolumeAttributesClassName PersistentVolumeSpec.volumeMode
    PersistentVolumeSpec.volumeAttributesClassName PodDNSConfigOption.value
    PodFailurePolicyOnExitCodesRequirement.containerName PodResourceClaim.resourceClaimName
    PodResourceClaim.resourceClaimTemplateName PodResourceClaimStatus.resourceClaimName
    PodSecurityContext.fsGroupChangePolicy PodSecurityContext.supplementalGroupsPolicy
    PodSecurityContext.seLinuxChangePolicy PodSpec.preemptionPolicy PodSpec.runtimeClassName PodSpec.hostnameOverride
    PortStatus.error SeccompProfile.localhostProfile SecurityContext.procMount ServicePort.appProtocol
    ServiceSpec.internalTrafficPolicy ServiceSpec.ipFamilyPolicy ServiceSpec.loadBalancerClass
    ServiceSpec.trafficDistribution TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy
    TypedLocalObjectReference.apiGroup TypedObjectReference.apiGroup TypedObjectReference.namespace
    VolumeMount.mountPropagation VolumeMount.recursiveReadOnly VolumeMountStatus.recursiveReadOnly
    WindowsSecurityContextOptions.gmsaCredentialSpec WindowsSecurityContextOptions.gmsaCredentialSpecName
    WindowsSecurityContextOptions.runAsUserName JobSpec.completionMode JobSpec.managedBy JobSpec.podReplacementPolicy
    JobStatus.failedIndexes CronJobSpec.timeZone SuccessPolicyRule.succeededIndexes HTTPIngressPath.pathType
    IngressSpec.ingressClassName IngressClassParametersReference.apiGroup IngressClassParametersReference.namespace
    IngressClassParametersReference.scope NetworkPolicyPort.protocol HPAScalingRules.selectPolicy StorageClass.reclaimPolicy
    StorageClass.volumeBindingMode CSIDriverSpec.fsGroupPolicy VolumeAttachmentSource.persistentVolumeName
    LeaseSpec.holderIdentity LeaseSpec.strategy LeaseSpec.preferredHolder PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy
    PriorityClass.preemptionPolicy WebhookClientConfig.url ServiceReference.path ValidationRule.reason
    MutatingWebhook.failurePolicy MutatingWebhook.matchPolicy MutatingWebhook.reinvocationPolicy MutatingWebhook.sideEffects
    ValidatingWebhook.failurePolicy ValidatingWebhook.matchPolicy ValidatingWebhook.sideEffects MatchResources.matchPolicy
    RuleWithOperations.scope NamedRuleWithOperations.scope ParamRef.parameterNotFoundAction
    ValidatingAdmissionPolicySpec.failurePolicy MutatingAdmissionPolicySpec.failurePolicy Validation.reason
    JSONSchemaProps.x-kubernetes-list-type JSONSchemaProps.x-kubernetes-map-type
    CustomResourceDefinitionVersion.deprecationWarning CustomResourceSubresourceScale.labelSelectorPath
    DeleteOptions.propagationPolicy Preconditions.uid Preconditions.resourceVersion DeviceAttribute.string
    DeviceAttribute.version Device.nodeName ResourceSliceSpec.nodeName NodeConfigStatus.error ImageVolumeSource.pullPolicy
    RoleRef.namespace PodSchedulingGroup.podGroupName
""")

# Numbers and booleans of which 0 and false are no value: they are no pointers, and left out.
ZERO_IS_UNSET: Final = _pairs("""
    CustomResourceColumnDefinition.priority DaemonSetSpec.minReadySeconds DaemonSetStatus.numberAvailable
    DaemonSetStatus.numberUnavailable DaemonSetStatus.updatedNumberScheduled DaemonSetStatus.observedGeneration
    DeploymentSpec.minReadySeconds DeploymentStatus.availableReplicas DeploymentStatus.readyReplicas
    DeploymentStatus.replicas DeploymentStatus.unavailableReplicas DeploymentStatus.updatedReplicas
    DeploymentStatus.observedGeneration ReplicaSetSpec.minReadySeconds ReplicaSetStatus.availableReplicas
    ReplicaSetStatus.fullyLabeledReplicas ReplicaSetStatus.readyReplicas ReplicaSetStatus.observedGeneration
    StatefulSetOrdinals.start StatefulSetSpec.minReadySeconds StatefulSetStatus.currentReplicas
    StatefulSetStatus.readyReplicas StatefulSetStatus.updatedReplicas StatefulSetStatus.observedGeneration
    ScaleSpec.replicas JobStatus.active JobStatus.failed JobStatus.succeeded HorizontalPodAutoscalerStatus.currentReplicas
    AWSElasticBlockStoreVolumeSource.partition ContainerPort.hostPort ContainerStateTerminated.signal Event.count
    EventSeries.count GCEPersistentDiskVolumeSource.partition Probe.failureThreshold Probe.initialDelaySeconds
    Probe.periodSeconds Probe.successThreshold Probe.timeoutSeconds ReplicationControllerSpec.minReadySeconds
    ReplicationControllerStatus.availableReplicas ReplicationControllerStatus.fullyLabeledReplicas
    ReplicationControllerStatus.readyReplicas ReplicationControllerStatus.observedGeneration ServicePort.nodePort
    ServiceSpec.healthCheckNodePort Event.deprecatedCount QueuingConfiguration.handSize
    QueuingConfiguration.queueLengthLimit QueuingConfiguration.queues Status.code StatusDetails.retryAfterSeconds
    ServiceBackendPort.number PodDisruptionBudgetStatus.observedGeneration
    ValidatingAdmissionPolicyStatus.observedGeneration CustomResourceDefinitionStatus.observedGeneration
    CustomResourceDefinitionCondition.observedGeneration ContainerImage.sizeBytes PodCondition.observedGeneration
    PodStatus.observedGeneration Condition.observedGeneration ObjectMeta.generation DeviceSubRequest.count
    ExactDeviceRequest.count TokenRequest.expirationSeconds CustomResourceDefinitionSpec.preserveUnknownFields
    CustomResourceDefinitionVersion.deprecated JSONSchemaProps.exclusiveMaximum JSONSchemaProps.exclusiveMinimum
    JSONSchemaProps.nullable JSONSchemaProps.uniqueItems JSONSchemaProps.x-kubernetes-embedded-resource
    JSONSchemaProps.x-kubernetes-int-or-string APIServiceSpec.insecureSkipTLSVerify DeploymentSpec.paused
    TokenReviewStatus.authenticated SubjectAccessReviewStatus.denied AWSElasticBlockStoreVolumeSource.readOnly
    AzureFilePersistentVolumeSource.readOnly AzureFileVolumeSource.readOnly CSIPersistentVolumeSource.readOnly
    CephFSPersistentVolumeSource.readOnly CephFSVolumeSource.readOnly CinderPersistentVolumeSource.readOnly
    CinderVolumeSource.readOnly Container.stdin Container.stdinOnce Container.tty EphemeralContainer.stdin
    EphemeralContainer.stdinOnce EphemeralContainer.tty FCVolumeSource.readOnly FlexPersistentVolumeSource.readOnly
    FlexVolumeSource.readOnly GCEPersistentDiskVolumeSource.readOnly GlusterfsPersistentVolumeSource.readOnly
    GlusterfsVolumeSource.readOnly ISCSIPersistentVolumeSource.chapAuthDiscovery ISCSIPersistentVolumeSource.chapAuthSession
    ISCSIPersistentVolumeSource.readOnly ISCSIVolumeSource.chapAuthDiscovery ISCSIVolumeSource.chapAuthSession
    ISCSIVolumeSource.readOnly NFSVolumeSource.readOnly NodeSpec.unschedulable PersistentVolumeClaimVolumeSource.readOnly
    PodSpec.hostIPC PodSpec.hostNetwork PodSpec.hostPID PortworxVolumeSource.readOnly QuobyteVolumeSource.readOnly
    RBDPersistentVolumeSource.readOnly RBDVolumeSource.readOnly ScaleIOPersistentVolumeSource.readOnly
    ScaleIOPersistentVolumeSource.sslEnabled ScaleIOVolumeSource.readOnly ScaleIOVolumeSource.sslEnabled
    ServiceSpec.publishNotReadyAddresses StorageOSPersistentVolumeSource.readOnly StorageOSVolumeSource.readOnly
    VolumeMount.readOnly VolumeMountStatus.readOnly ResourcePolicyRule.clusterScope PriorityClass.globalDefault
""")
# Numbers that are written even when nobody gave them, though the definitions call them optional.
ALWAYS_WRITTEN: Final = _pairs("""
    PriorityClass.value StatefulSetStatus.availableReplicas PodDisruptionBudgetStatus.currentHealthy
    PodDisruptionBudgetStatus.desiredHealthy PodDisruptionBudgetStatus.disruptionsAllowed
    PodDisruptionBudgetStatus.expectedPods
""")

# Fields that are written as null when they are empty: times, lists and maps without `omitempty`.
NULL_WHEN_EMPTY: Final = _pairs("""
    APIServiceCondition.lastTransitionTime CertificateSigningRequestCondition.lastTransitionTime
    CertificateSigningRequestCondition.lastUpdateTime ContainerStateRunning.startedAt ContainerStateTerminated.finishedAt
    ContainerStateTerminated.startedAt CustomResourceDefinitionCondition.lastTransitionTime
    DaemonSetCondition.lastTransitionTime DeploymentCondition.lastTransitionTime DeploymentCondition.lastUpdateTime
    Event.deprecatedFirstTimestamp Event.deprecatedLastTimestamp Event.eventTime Event.firstTimestamp Event.lastTimestamp
    EventSeries.lastObservedTime FlowSchemaCondition.lastTransitionTime HorizontalPodAutoscalerCondition.lastTransitionTime
    JobCondition.lastProbeTime JobCondition.lastTransitionTime NamespaceCondition.lastTransitionTime
    NodeCondition.lastHeartbeatTime NodeCondition.lastTransitionTime PersistentVolumeClaimCondition.lastProbeTime
    PersistentVolumeClaimCondition.lastTransitionTime PodCondition.lastProbeTime PodCondition.lastTransitionTime
    PriorityLevelConfigurationCondition.lastTransitionTime ReplicaSetCondition.lastTransitionTime
    ReplicationControllerCondition.lastTransitionTime StatefulSetCondition.lastTransitionTime
    ClusterRole.rules CSINodeDriver.topologyKeys CSINodeSpec.drivers CustomResourceDefinitionStatus.conditions
    CustomResourceDefinitionStatus.storedVersions HorizontalPodAutoscalerStatus.currentMetrics LimitRangeSpec.limits
    EndpointSlice.ports ProjectedVolumeSource.sources Role.rules
""")
