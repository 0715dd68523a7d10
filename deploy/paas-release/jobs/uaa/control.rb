Paas.component 'uaa' do
  def start
    return if running_already?

    make_database if first_run?
    render 'uaa.yml.erb'
    inside(package) do
      inside(package) { run "sed -i 's/mvn.*tomcat:run/#{offline_maven}/g' bin/uaa" }
      ENV['CLOUD_FOUNDRY_CONFIG_PATH'] = vcap_sys_config.to_s
      ENV['JAVA_HOME'] = "#{target}/java"
      ENV['PATH'] += ":#{target}/maven/bin"
      ruby "bin/uaa #{outputs} &"
    end
  end

  private

  # On this host, and whatever it held.
  def make_database
    ENV['LD_LIBRARY_PATH'] = "#{target}/postgres/lib"
    postgres = "#{target}/postgres/bin"
    here = '-h localhost -p 5432'
    run "#{postgres}/dropdb #{here} uaa"
    run "#{postgres}/createdb #{here} uaa"
    run %(#{postgres}/psql #{here} -d uaa -c "create role root SUPERUSER LOGIN INHERIT CREATEDB")
    run %(#{postgres}/psql #{here} -d uaa -c "alter role root with password 'changeme'")
  end

  # As it stands inside of sed's slashes.
  def offline_maven
    repository = "#{target}/maven_uaa_repository/repository".gsub('/', '\/')
    "mvn -Dmaven.repo.local=#{repository} tomcat:run"
  end
end
