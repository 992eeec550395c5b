/** The version that this gateway reports. A test holds it to package.json. */
export const version = '0.1.0';

/** Features of this version beyond the first one. */
export const features: readonly string[] = [];
